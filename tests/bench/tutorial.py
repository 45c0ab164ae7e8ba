"""The usual tutorial service, to compare with: FastAPI, PIL, torchvision's transforms, PyTorch FP32. A process.

python -m tests.bench.tutorial PORT THREADS
"""

from __future__ import annotations

import io
import sys

import torch
import torchvision
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import transforms


def create_app(threads: int) -> FastAPI:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = torchvision.models.resnet50(weights=None, num_classes=2).eval()
    transform = transforms.Compose([
        transforms.Resize(224), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    quiet = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}
    app = FastAPI(telemetry=quiet)  # type: ignore[arg-type]

    @app.post("/predict")
    async def predict(file: UploadFile) -> dict[str, object]:
        image = Image.open(io.BytesIO(await file.read())).convert("RGB")
        with torch.no_grad():
            probabilities = torch.softmax(model(transform(image).unsqueeze(0)), 1)[0]
        return {"class": int(probabilities.argmax()), "probabilities": probabilities.tolist()}

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(int(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning",
        timeout_keep_alive=600,  # the client comes back when the other kinds had their turn
    )  # fmt: skip
