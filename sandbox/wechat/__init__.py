"""The mini-program login of WeChat (jscode2session)."""
