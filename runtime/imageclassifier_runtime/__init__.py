"""The model server: answers classification requests with a MobileNet on ONNX Runtime."""

import os

__version__ = "0.1.0"

# ONNX Runtime 1.29 and newer sends events to Microsoft by default. It reads this variable when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
