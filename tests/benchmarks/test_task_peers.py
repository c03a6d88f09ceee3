"""The peers of the tasks do the work that heliostat does; nothing is timed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from task_peers import detection, segmentation
from task_peers.translation import ImagePool
from tasks import TASKS

from heliostat import spec
from heliostat.data.formats import open_listing
from heliostat.vision.segmentation import losses

HERE = Path(__file__).parent


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_a_spec_and_a_peer(task: str) -> None:
    loaded = spec.load(HERE / f"{task}.yaml").spec
    assert isinstance(loaded, spec.TrainSpec)
    assert loaded.task is not None
    assert loaded.task.name == task
    assert (HERE / "task_peers" / f"{task}.py").is_file()


def test_the_peer_learns_from_the_boxes_that_heliostat_reads(shared_data: Path) -> None:
    folder = shared_data / "bccd" / "BCCD"
    listing = open_listing(folder)
    assert listing.classes == detection.CLASSES
    for record in list(listing.splits["train"])[:20]:
        annotation = folder / "Annotations" / f"{Path(record.name).stem}.xml"
        boxes, labels = detection.read_objects(annotation)
        assert record.objects is not None
        np.testing.assert_array_equal(boxes, record.objects.boxes)
        np.testing.assert_array_equal(labels, record.objects.classes)


def test_the_peers_dice_loss_is_heliostats() -> None:
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 8, 8, generator=draws)
    masks = torch.randint(2, (3, 8, 8), generator=draws)
    masks[:, 0] = segmentation.IGNORED
    ours = losses.soft_dice(logits, masks, ignore_index=segmentation.IGNORED)
    torch.testing.assert_close(segmentation.dice_loss(logits, masks), ours.mean())


def test_the_peers_pool_gives_back_images_of_earlier_steps() -> None:
    pool = ImagePool(4)
    first = torch.arange(4.0).reshape(4, 1, 1, 1)
    assert torch.equal(pool.query(first), first)
    later = torch.cat([pool.query(torch.full((4, 1, 1, 1), 10.0)) for _ in range(8)])
    assert len(later) == 32
    assert {0.0, 1.0, 2.0, 3.0} & set(later.unique().tolist())
