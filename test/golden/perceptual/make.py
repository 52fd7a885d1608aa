"""Makes the files beside it: torch.save's own bytes, in the names of torchvision's vgg16 and taming-transformers' vgg.pth, few numbers.

/usr/bin/python3 make.py (torch 1.13)
"""
from collections import OrderedDict
import torch

def counted(start, *shape):
    n = torch.Size(shape).numel()
    return (torch.arange(n, dtype=torch.float32) + start).reshape(shape) / 8

vgg16 = OrderedDict([
    ("features.0.weight", counted(0, 2, 3, 3, 3)), ("features.0.bias", counted(100, 2)),
    ("features.28.weight", counted(200, 2, 2, 3, 3)), ("features.28.bias", counted(300, 2)),
    ("classifier.6.weight", counted(400, 3, 4)), ("classifier.6.bias", counted(500, 3)),
])
torch.save(vgg16, "vgg16.pth")
torch.save(vgg16, "vgg16_legacy.pth", _use_new_zipfile_serialization=False)
torch.save(OrderedDict((f"lin{i}.model.1.weight", counted(600 + i, 1, 2, 1, 1)) for i in range(5)), "vgg.pth")
whole = OrderedDict((f"loss.perceptual_loss.net.slice{'1.0' if '.0.' in k else '5.28'}.{k.split('.')[-1]}", v + 1000)
                    for k, v in vgg16.items() if k.startswith("features"))
whole["loss.perceptual_loss.lin0.model.1.weight"] = counted(1600, 1, 2, 1, 1)
torch.save({"state_dict": whole}, "model.ckpt")
