"""Huawei Push Kit of the sandbox."""
