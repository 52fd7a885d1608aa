"""Reads what we write for others with their own programs: ONNX by onnx and onnxruntime, event files by TensorBoard.

usage: formats.py RUN ONNX-FOLDER PICTURE SEED LABEL
"""
import glob
import sys

import numpy
import onnx
import onnxruntime
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run, folder, picture, seed, label = sys.argv[1:]


def domains(graph):
    for node in graph.node:
        yield node.domain
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from domains(attribute.g)


for path in sorted(glob.glob(f"{folder}/*.onnx")):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    found = set(domains(model.graph)) | {o.domain for o in model.opset_import}
    assert found == {""}, (path, found)
    onnxruntime.InferenceSession(path)
    print(f"{path}: opset {model.opset_import[0].version}, {len(model.graph.node)} nodes, ai.onnx alone")

session = onnxruntime.InferenceSession(f"{folder}/sampler.onnx")
(drawn,) = session.run(
    ["picture"], {"seed": numpy.array(int(seed), dtype=numpy.int64), "labels": numpy.array([int(label)], dtype=numpy.int32)}
)
ours = numpy.asarray(Image.open(picture).convert("RGB"))
worst = numpy.abs(drawn.astype(int) - ours.astype(int)).max()
assert worst <= 1, worst
print(f"sampler.onnx draws the picture of latentgraph sample, at most {worst} of 255 apart")

for stage in ["first-stage", "diffusion"]:
    events = EventAccumulator(f"{run}/tensorboard/{stage}", size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    losses = events.Scalars("loss")
    assert [e.step for e in losses] == list(range(1, 13)), losses
    print(f"{stage}: {len(losses)} losses, images {events.Tags()['images']}")
