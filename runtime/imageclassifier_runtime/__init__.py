"""The model server: answers classification requests with a MobileNet on ONNX Runtime."""
