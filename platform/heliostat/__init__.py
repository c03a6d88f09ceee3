"""heliostat: distributed training, evaluation and prediction for PyTorch computer vision."""
