import pytest
import torch

from facegen.errors import UsageError
from facegen.models.devices import resolve_device


def test_auto_finds_a_device_that_works():
    assert torch.ones(1, device=resolve_device("auto")).item() == 1.0


@pytest.mark.parametrize("name", ["abacus", "cuda:999", "meta"])
def test_a_device_this_machine_lacks_is_refused(name):
    with pytest.raises(UsageError, match=name):
        resolve_device(name)
