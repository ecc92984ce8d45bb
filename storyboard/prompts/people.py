"""Words for people and animals, and for what they wear: enough English to tell who is spoken of."""

import re

FEMALE = frozenset("""
    woman women girl girls lady ladies queen princess duchess mother mom mum mommy mama grandmother grandma granny aunt
    sister daughter niece wife bride girlfriend widow actress waitress hostess nun witch goddess mermaid ballerina
    heroine sorceress huntress priestess empress stewardess schoolgirl cowgirl businesswoman policewoman geisha maid
    mrs ms miss female females
    """.split())
MALE = frozenset("""
    man men boy boys guy guys gentleman gentlemen king prince duke father dad daddy papa grandfather grandpa uncle
    brother son nephew husband groom boyfriend widower monk wizard sorcerer emperor butler schoolboy cowboy businessman
    policeman fireman fisherman mr male males dude lad viking
    """.split())
NEUTRAL = frozenset("""
    person people persons child children kid kids baby babies toddler toddlers teen teens teenager teenagers adult
    adults human humans character characters figure figures subject subjects model models couple family friend friends
    twin twins stranger passenger tourist traveler traveller pedestrian commuter player runner dancer singer painter
    artist actor musician guitarist pianist violinist drummer drummers teacher student pupil doctor nurse surgeon
    scientist professor engineer mechanic farmer baker chef cook barista bartender waiter butcher tailor carpenter
    builder worker clerk cashier seller merchant customer soldier soldiers warrior warriors knight knights archer hunter
    guard sailor pirate pirates captain pilot astronaut astronauts driver cyclist rider biker skater skier surfer
    swimmer diver climber hiker jogger athlete boxer wrestler goalkeeper footballer detective officer cop thief spy
    agent ninja samurai hero villain vampire zombie zombies elf elves fairy dwarf dwarfs dwarves giant goblin troll ogre
    orc angel demon ghost alien aliens clown magician priest bishop judge lawyer politician president boss manager
    secretary employee reporter journalist photographer director writer poet reader author gardener firefighter
    firefighters paramedic lifeguard shepherd peasant noble mage druid monarch villager villagers dwarf wanderer
    teammate colleague neighbor neighbour parent parents bystander protagonist patient victim speaker conductor
    librarian shopkeeper blacksmith toreador gladiator explorer adventurer monks nuns queens kings princes princesses
    brides
    dancers singers players students workers tourists guests visitors fans spectators passengers
    """.split())
ANIMALS = frozenset("""
    animal creature cat cats kitten dog dogs puppy horse horses pony cow bull pig piglet sheep lamb goat rabbit bunny
    hare mouse rat squirrel fox wolf wolves bear bears teddy lion lioness tiger leopard elephant giraffe monkey gorilla
    chimpanzee panda koala kangaroo deer bird birds owl eagle parrot penguin penguins duck duckling goose swan chicken
    rooster hen turtle tortoise frog toad snake lizard crocodile dinosaur dragon dragons unicorn phoenix fish shark
    whale dolphin octopus bee butterfly robot robots android cyborg puppet doll mascot monster monsters snowman
    """.split())
SINGULAR_PEOPLE = frozenset(  # those that "a" or "one" can count
    word for word in FEMALE | MALE | NEUTRAL
    if not word.endswith(("s", "men", "people", "children", "elves", "dwarves", "ladies", "family", "couple"))
) | {"princess", "actress", "waitress", "hostess", "goddess", "boss"}
PLURAL_PEOPLE = frozenset(
    [word for word in FEMALE | MALE | NEUTRAL if word.endswith("s")]
    + ["women", "men", "gentlemen", "people", "children"]
    + [word + "s" for word in SINGULAR_PEOPLE]) - SINGULAR_PEOPLE - {"mrs", "ms", "samurai"}

# what belongs to somebody's body or dress: "their faces" speaks of people, "their leaves" does not
PARTS = frozenset("""
    face faces hair hairstyle hairstyles eyes eye nose mouth lips teeth smile smiles skin head heads neck shoulder
    shoulders arm arms hand hands finger fingers fist leg legs knee knees foot feet body bodies waist back pose poses
    posture expression expressions features identity identities beard mustache clothes clothing outfit outfits dress
    dresses shirt shirts t-shirt jacket jackets coat coats sweater hoodie suit suits uniform uniforms pants trousers
    jeans skirt shorts shoes boots sneakers socks hat hats cap glasses sunglasses scarf gloves tie costume costumes
    makeup gaze look age gender
    """.split())

_PERSON_ENDINGS = ("woman", "women", "man", "men", "boy", "girl", "naut", "smith", "ician", "master", "keeper")
_NOT_PEOPLE = frozenset("specimen omen ornamen human-made abdomen regimen acumen".split())
_FEMALE_ENDINGS, _MALE_ENDINGS = ("woman", "women", "girl", "girls"), ("man", "men", "boy", "boys")


def gender(word: str) -> str:
    """'female', 'male', 'any' (a person or animal of either), or '' if the word names nobody we know."""
    word = re.sub(r"['’]s?$", "", word.lower())
    if word in FEMALE or word.endswith(_FEMALE_ENDINGS):
        return "female"
    if word in MALE or (word.endswith(_MALE_ENDINGS) and word not in _NOT_PEOPLE and word not in NEUTRAL):
        return "any" if word in ("human", "snowman") else "male"
    single = word[:-1] if word.endswith("s") and not word.endswith("ss") else word
    for known in (word, single):
        if known in FEMALE:
            return "female"
        if known in MALE:
            return "male"
        if known in NEUTRAL or known in ANIMALS or known.endswith(_PERSON_ENDINGS) and known not in _NOT_PEOPLE:
            return "any"
    return ""
