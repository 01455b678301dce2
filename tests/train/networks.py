"""The network that studies train in these tests, under the name resnet8; and the real one."""

import functools

from train.models.resnet import MODELS, BasicBlock, ResNet

RESNET8 = MODELS["resnet8"]

# A convolution, a BatchNorm and a dense layer: quick to compile.
SMALLEST = functools.partial(ResNet, block=BasicBlock, widths=(4,), counts=(0,))

# Of every kind of layer that the real ones have.
TINY = functools.partial(ResNet, block=BasicBlock, widths=(4, 8), counts=(1, 1))
