"""Why the network or a file said no, in the system's plain words."""

from __future__ import annotations

import os
import socket
import ssl


def reason_of(error: Exception) -> str:
    """`Connection refused`, `No such file or directory`, `certificate has expired` …"""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
