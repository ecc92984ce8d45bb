"""Between two pictures: their motion, how a picture in between is best made, and that picture."""
