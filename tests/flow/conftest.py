import pytest
import torch


@pytest.fixture(autouse=True)
def one_opencv_thread():
    """DIS cuts its work by threads; one is quickest for small pictures."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="session")
def texture():
    """`texture(seed, height, width)`: smooth random colours, features of about eight pixels."""

    def make(seed: int = 0, height: int = 96, width: int = 128) -> torch.Tensor:
        noise = torch.rand((1, 3, height // 8 + 2, width // 8 + 2), generator=torch.Generator().manual_seed(seed))
        big = torch.nn.functional.interpolate(noise, scale_factor=8, mode="bicubic")
        return big[0, :, 8 : 8 + height, 8 : 8 + width].permute(1, 2, 0).clamp(0, 1).contiguous()

    return make


@pytest.fixture(scope="session")
def cartoon():
    """`cartoon(x)`: a flat ball with an outline at x, before a flat scene; 96 x 128."""

    def make(x: float, ground: tuple = (0.3, 0.6, 0.3)) -> torch.Tensor:
        ys, xs = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
        picture = torch.empty(96, 128, 3)
        picture[:60], picture[60:] = torch.tensor([0.6, 0.8, 1.0]), torch.tensor(ground)
        far = ((xs - x) ** 2 + (ys - 50) ** 2).sqrt()
        for radius, colour in ((20.0, (0.4, 0.1, 0.1)), (17.0, (0.9, 0.2, 0.2))):
            share = (radius + 0.5 - far).clamp(0, 1)[..., None]
            picture = picture * (1 - share) + torch.tensor(colour) * share
        return picture

    return make
