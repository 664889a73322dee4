"""The model server: answers classification requests with a MobileNet on ONNX Runtime."""

__version__ = "0.1.0"
