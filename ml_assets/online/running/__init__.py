"""An entity's facts as a running state: what a push changes costs what it changes, and any moment can be computed."""
