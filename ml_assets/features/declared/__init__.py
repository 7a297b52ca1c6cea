"""Parts of a feature view's declaration: lags, calendars and plans."""
