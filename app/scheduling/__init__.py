"""When things run: pure arithmetic on intervals, and the tick that turns due windows into rows."""
