"""Fitting of pictures into the form that an operation accepts, before money is spent.

A picture that fits already is handed on byte by byte. Any other is turned upright as its EXIF asks, and made 8-bit
sRGB; where its shape is wrong, the job's `fit` decides: it is refused, cropped, or padded.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, ImageCms, ImageFilter, ImageOps

from providers.spec import Fit, Need
from workers.images.decoding import decoded, orientation, resizable, upright
from workers.images.headers import Picture, pillow_image
from workers.images.segments import BadPictureError

QUALITY: Final = 95  # of a JPEG or WebP made here: above it files grow and nothing more is seen
#: Of what a crop takes from the height, the share that goes at the top, where heads are; across it keeps the middle.
CROP_ABOVE: Final = 0.25
#: A padding is the picture itself, out of focus: a plain border would be taken for a part of the scene. It is made
#: from so small a copy, in pixels, blurred by so many of them.
PAD_COPY_SIDE: Final = 96
PAD_BLUR: Final = 4

_LYING: Final = frozenset({5, 6, 7, 8})
_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
_PLAIN: Final = frozenset({"L", "RGB"})
_EVERYBODYS: Final = frozenset({*_PLAIN, "RGBA"})
_PNG_DEPTH_AT: Final = 24  # the byte of a PNG that says how many bits a value has (PNG, 11.2.1)
_DEEP: Final = 16
_SRGB: Final = "srgb"  # in the name of every profile of it


def fitted(data: bytes, picture: Picture, need: Need, fit: Fit, *, plain: bool = False) -> bytes:
    """The picture as `need` wants it; `data` itself where it is that already.

    Args:
        data: a JPEG, PNG or WebP.
        picture: what `workers.images.verify` says of it.
        need: what the provider takes.
        fit: what to do about a shape that it does not take.
        plain: whether a provider that says nothing of it gets what every program shows alike: upright, 8-bit sRGB.

    Raises:
        BadPictureError: the shape is wrong and `fit` says to reject it, or too extreme to be mended; or the picture
            cannot be decoded.
    """
    known_type = picture.media_type in need.media_types
    if known_type and not (need.exact or plain):
        return data
    with pillow_image(io.BytesIO(data)) as image:
        turned = orientation(image)
        problem = shape_problem(*(image.size[::-1] if turned in _LYING else image.size), need)
        sound = _is_plain(image, data) if plain else True
        sound = sound and (not need.exact or (image.mode in _PLAIN and not image.has_transparency_data))
        if known_type and sound and turned == 1 and problem is None:
            return data
    if problem and fit is Fit.REJECT:
        raise BadPictureError(f"{problem}; set the option fit to crop or pad to change it")
    media_type = picture.media_type if known_type else need.media_types[0]
    # Where only the size is wrong, not much more than the limit needs to be decoded; a crop may need every pixel.
    with decoded(data, picture, side=need.max_side if need.ratio is None else None) as image:
        whole = _rgb(upright(image, turned), transparent=media_type != "image/jpeg" and not need.exact)
        whole = _for_screens(whole) if plain else whole
        return _encoded(_shaped(whole, need, fit) if problem else whole, media_type)


def as_jpeg(image: Image.Image) -> bytes:
    """An upright image as a JPEG in sRGB, what is transparent in white."""
    return _encoded(_for_screens(_rgb(image, transparent=False)), "image/jpeg")


def shape_problem(width: int, height: int, need: Need) -> str | None:
    """What is wrong with an upright picture of this size in pixels, in words, or None."""
    if need.ratio and width * need.ratio[1] != height * need.ratio[0]:
        return f"it has {width} x {height} pixels; the aspect ratio must be exactly {need.ratio[0]}:{need.ratio[1]}"
    if need.max_side and max(width, height) > need.max_side:
        return f"it has {width} x {height} pixels; at most {need.max_side} on the longer side are allowed"
    return None


def _shaped(image: Image.Image, need: Need, fit: Fit) -> Image.Image:
    if need.ratio is not None:
        return _cropped(image, need, *need.ratio) if fit is Fit.CROP else _padded(image, need, *need.ratio)
    limit = need.max_side or max(image.size)
    return _within(image, (limit, limit))


def _cropped(image: Image.Image, need: Need, across: int, down: int) -> Image.Image:
    """The largest part of exactly this ratio, made smaller where it is too large."""
    # An exact ratio holds for multiples of it only, so sizes are counted in such units.
    units = min(image.width // across, image.height // down)
    if not units:
        raise BadPictureError(f"it has {image.width} x {image.height} pixels, too few to cut {across}:{down} out of it")
    width, height = units * across, units * down
    left, top = (image.width - width) // 2, int((image.height - height) * CROP_ABOVE)
    part = image.crop((left, top, left + width, top + height))
    units = min(units, _most_units(need, across, down, units))
    return part.resize((units * across, units * down), Image.Resampling.LANCZOS)


def _padded(image: Image.Image, need: Need, across: int, down: int) -> Image.Image:
    """All of the picture in the middle of the smallest canvas of exactly this ratio, both smaller where too large."""
    units = max(-(-image.width // across), -(-image.height // down))
    units = min(units, _most_units(need, across, down, units))
    canvas = (units * across, units * down)
    small = (PAD_COPY_SIDE * across // max(across, down), PAD_COPY_SIDE * down // max(across, down))
    copy = ImageOps.fit(image, small, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(PAD_BLUR))
    padded = copy.resize(canvas, Image.Resampling.BICUBIC)
    fits = image.width <= canvas[0] and image.height <= canvas[1]
    inner = image if fits else _within(image, canvas)
    padded.paste(inner, ((canvas[0] - inner.width) // 2, (canvas[1] - inner.height) // 2))
    padded.info = dict(image.info)
    return padded


def _within(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """All of the picture, as large as `size` allows; one without breadth keeps a pixel of it."""
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _most_units(need: Need, across: int, down: int, wanted: int) -> int:
    return need.max_side // max(across, down) if need.max_side else wanted


def _rgb(image: Image.Image, *, transparent: bool) -> Image.Image:
    """8 bits for each of red, green and blue; transparency is kept, or becomes white as on a page."""
    if image.mode == "CMYK":
        return _from_print(image)
    image = resizable(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layered = image.convert("RGBA")
    if transparent:
        return layered
    flat = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    flat.info = dict(image.info)
    return flat


def _is_plain(image: Image.Image, data: bytes) -> bool:
    """Whether every program shows the picture's colors alike: 8 bits, no inks or palette, and no profile but sRGB's."""
    deep = image.format == "PNG" and data[_PNG_DEPTH_AT] == _DEEP
    return image.mode in _EVERYBODYS and not deep and not _other_colors(image)


def _other_colors(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The profile of a picture in red, green and blue that are not sRGB's; None for one that is damaged."""
    written = image.info.get("icc_profile")
    if not written or written[16:20] != b"RGB ":
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(written))
        return None if _SRGB in ImageCms.getProfileDescription(profile).lower() else profile
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _for_screens(image: Image.Image) -> Image.Image:
    """A picture in sRGB, of one in other reds, greens and blues, such as a phone's Display P3."""
    profile = _other_colors(image)
    if profile is None or image.mode not in {"RGB", "RGBA"}:
        return image
    try:
        screen = ImageCms.profileToProfile(image.convert("RGB"), profile, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError):
        return image
    if screen is None:
        return image
    if image.mode == "RGBA":
        screen.putalpha(image.getchannel("A"))
    screen.info.pop("icc_profile", None)
    return screen


def _from_print(image: Image.Image) -> Image.Image:
    """Colours for a screen out of printing inks, by the picture's own profile where it has a usable one."""
    profile = image.info.pop("icc_profile", None)
    if profile:
        try:
            screen = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            screen = None
        if screen is not None:
            screen.info.pop("icc_profile", None)
            return screen
    return image.convert("RGB")


def _encoded(image: Image.Image, media_type: str) -> bytes:
    out = io.BytesIO()
    profile = image.info.get("icc_profile")
    # A profile of RGB (ICC.1, 7.2.6: bytes 16 to 19) goes along, one of greys would distort what is not grey any more.
    kept = {"icc_profile": profile} if profile and profile[16:20] == b"RGB " else {"icc_profile": None}
    # Faces are small and red: their colour keeps its resolution.
    more = {"subsampling": "4:4:4"} if media_type == "image/jpeg" else {}
    image.save(out, _FORMATS[media_type], quality=QUALITY, **kept, **more)
    return out.getvalue()
