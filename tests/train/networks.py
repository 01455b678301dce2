"""Networks that are quick to compile, in the place of the study's own."""

import functools

from train.models.resnet import BasicBlock, ResNet

# Of every kind of layer that the networks have.
TINY = functools.partial(ResNet, block=BasicBlock, widths=(4, 8), counts=(1, 1))

# A convolution, a BatchNorm and a dense layer.
SMALLEST = functools.partial(ResNet, block=BasicBlock, widths=(4,), counts=(0,))
