"""Aliyun's SMS and ringing voice call, behind the ACS3-HMAC-SHA256 signature."""
