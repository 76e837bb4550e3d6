"""The streaming anomaly detector."""

from app.domain.detector.state import Damaged, from_bytes, to_bytes
from app.domain.detector.streaming import VIEWS, Detector, Reading, Setting

__all__ = ["VIEWS", "Damaged", "Detector", "Reading", "Setting", "from_bytes", "to_bytes"]
