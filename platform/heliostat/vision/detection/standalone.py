"""Detectors by name, of torch and torchvision alone.

This file is copied beside a registered model, which so loads where heliostat is not: it imports
nothing of heliostat. torchvision is imported where it is needed, since that takes 4 s.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

TORCHVISION: Mapping[str, int] = {
    "fasterrcnn_resnet50_fpn": 1,
    "fasterrcnn_resnet50_fpn_v2": 1,
    "fasterrcnn_mobilenet_v3_large_fpn": 1,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 1,
    "fcos_resnet50_fpn": 0,
    "retinanet_resnet50_fpn": 0,
    "retinanet_resnet50_fpn_v2": 0,
    "ssd300_vgg16": 1,
    "ssdlite320_mobilenet_v3_large": 1,
}
"""torchvision's detectors, and what each calls the first class: 1 where 0 is the background."""


def build(name: str, num_classes: int, **args: Any) -> Detector:
    """Return the detector `name` with fresh weights from torch's global generator.

    `name` is `fcos_small` or one of TORCHVISION, and `args` are what its builder takes besides.
    Raises ValueError for another name or no classes, and what torchvision raises.
    """
    if num_classes < 1:
        raise ValueError(f"a detector needs at least one class, not {num_classes}")
    if name == "fcos_small":
        return fcos_small(num_classes, **args)
    if name not in TORCHVISION:
        raise ValueError(f"no detector {name!r}; valid: fcos_small, {', '.join(TORCHVISION)}")
    from torchvision.models import detection

    first = TORCHVISION[name]
    net = getattr(detection, name)(
        weights=None, weights_backbone=None, num_classes=num_classes + first, **args
    )
    return Detector(net, num_classes, first, takes_one=name not in _NOT_ONE)


def fcos_small(
    num_classes: int,
    *,
    min_size: int | Sequence[int] = 320,
    max_size: int = 640,
    width: int = 32,
    anchor_sizes: Sequence[float] = (8, 16, 32),
    score_thresh: float = 0.05,
    nms_thresh: float = 0.6,
    detections_per_img: int = 100,
) -> Detector:
    """Return a small FCOS (Tian et al. 2019) that learns from scratch on a CPU.

    torchvision's FCOS on a residual network and a feature pyramid of 64 channels with strides
    8, 16 and 32: 1.6 million weights.

    Args:
        num_classes: K.
        min_size: pixels of the shorter side inside the network; of several, training draws one
            for each image, and evaluation takes the last.
        max_size: pixels that the longer side doesn't exceed.
        width: channels at stride 4; double at 8, four times at 16 and 32.
        anchor_sizes: pixels, one a level. A level learns boxes whose farthest side is 4 to 8
            times this away from their middle, the first level also all smaller ones and the last
            all larger ones; and only from places at most 1.5 times this off the middle.
        score_thresh: detections below it are left out.
        nms_thresh: of two boxes of a class that overlap by more (IoU), the better stays.
        detections_per_img: the most that an image can have.

    Raises ValueError for other than three anchor sizes.
    """
    if len(anchor_sizes) != 3:
        raise ValueError(f"three anchor_sizes are needed, one a level, not {len(anchor_sizes)}")
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.fcos import FCOS, FCOSHead

    backbone = SmallBackbone(width)
    head = FCOSHead(backbone.out_channels, 1, num_classes, num_convs=2)
    # Distances go through a ReLU, which from 0 would stay dead for half of them: begin with boxes
    # of four times the anchor's size.
    nn.init.constant_(head.regression_head.bbox_reg.bias, 2.0)
    net = FCOS(
        backbone,
        num_classes,
        min_size=min_size,
        max_size=max_size,
        anchor_generator=AnchorGenerator(tuple((size,) for size in anchor_sizes), ((1.0,),) * 3),
        head=head,
        score_thresh=score_thresh,
        nms_thresh=nms_thresh,
        detections_per_img=detections_per_img,
    )
    return Detector(net, num_classes)


class Detector(nn.Module):
    """A detector of torchvision's kind that takes images as data gives them.

    Images are uint8 (or float on 0..1), (C, H, W) of any sizes with C 1 or 3; classes are 0 to
    K-1 outside, whatever the network calls them.
    """

    def __init__(
        self, net: nn.Module, num_classes: int, first_label: int = 0, *, takes_one: bool = True
    ) -> None:
        """Take a network with torchvision's interface.

        `first_label` is its name for class 0; `takes_one`, whether one image is a batch to it.
        """
        super().__init__()
        self.net = net
        self.num_classes = num_classes
        self.first_label = first_label
        self._takes_one = takes_one

    def forward(
        self,
        images: Sequence[Tensor] | Tensor,
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> Any:
        """Return, for images of any sizes or one tensor (n, C, H, W), what they show.

        In training, with targets {"boxes": float32 (k, 4) XYXY in pixels, "labels": int64 (k,)},
        the losses of the batch by name, scalars. Otherwise a list of {"boxes": float32 (m, 4)
        XYXY in pixels of the image as given, "scores": float32 (m,) falling, "labels": int64}.
        Raises ValueError for images of other shapes, and in training without targets.
        """
        pixels = [_rgb(image) for image in images]
        if self.training:
            if targets is None:
                raise ValueError("a detector in training mode needs targets")
            return self._losses(pixels, targets)
        return [
            {
                "boxes": found["boxes"].float(),
                "scores": found["scores"].float(),
                "labels": found["labels"] - self.first_label,
            }
            for found in self.net(pixels)
        ]

    def _losses(self, pixels: list[Tensor], targets: Sequence[Mapping[str, Tensor]]) -> Any:
        named = [
            {"boxes": target["boxes"], "labels": target["labels"] + self.first_label}
            for target in targets
        ]
        if len(pixels) == 1 and not self._takes_one:
            pixels, named = pixels * 2, named * 2  # the losses are means, so they stay the same
        rpn: Any = getattr(self.net, "rpn", None)
        if rpn is None or any(len(target["boxes"]) for target in targets):
            return self.net(pixels, named)
        # Faster R-CNN learns from its proposals and the true boxes. If there were none of either,
        # its losses would be 0 / 0: without a true box, a proposal of any score is taken.
        threshold, rpn.score_thresh = rpn.score_thresh, 0.0
        try:
            return self.net(pixels, named)
        finally:
            rpn.score_thresh = threshold


# Its last features are 1×1, where BatchNorm cannot learn from a lone image.
_NOT_ONE = ("ssdlite320_mobilenet_v3_large",)


class SmallBackbone(nn.Module):
    """A residual network (He et al. 2015) with a feature pyramid (Lin et al. 2017).

    Images float32 (n, 3, H, W), H and W multiples of 32, to features (n, 64, …) of strides 8, 16
    and 32, as torchvision's detectors want them.
    """

    out_channels = 64

    def __init__(self, width: int) -> None:
        from torchvision.ops import FeaturePyramidNetwork

        super().__init__()
        self.stem = nn.Sequential(_convolution(3, width // 2, 2), nn.ReLU(inplace=True))
        self.stage4 = _Block(width // 2, width, 2)
        self.stage8 = nn.Sequential(_Block(width, 2 * width, 2), _Block(2 * width, 2 * width))
        self.stage16 = nn.Sequential(_Block(2 * width, 4 * width, 2), _Block(4 * width, 4 * width))
        self.stage32 = nn.Sequential(_Block(4 * width, 4 * width, 2), _Block(4 * width, 4 * width))
        self.pyramid = FeaturePyramidNetwork([2 * width, 4 * width, 4 * width], self.out_channels)

    def forward(self, images: Tensor) -> Mapping[str, Tensor]:
        """Return the features by level, the finest first."""
        fine = self.stage8(self.stage4(self.stem(images)))
        middle = self.stage16(fine)
        coarse = self.stage32(middle)
        levels: Mapping[str, Tensor] = self.pyramid(
            OrderedDict([("8", fine), ("16", middle), ("32", coarse)])
        )
        return levels


class _Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _convolution(before, after, stride)
        self.second = _convolution(after, after)
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else _convolution(before, after, stride, size=1)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.second(torch.relu(self.first(features)))
        return torch.relu(inner + self.shortcut(features))


def _convolution(before: int, after: int, stride: int = 1, *, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(after),
    )


def _rgb(image: Tensor) -> Tensor:
    """Return (3, H, W) float on 0..1; a grey image is repeated."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"a detector takes images (1 or 3, H, W), not {tuple(image.shape)}")
    pixels = image.to(torch.float32) / 255 if image.dtype == torch.uint8 else image
    return pixels.expand(3, -1, -1)
