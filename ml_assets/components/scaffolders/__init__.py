"""`dg scaffold defs ml_assets.<Component> <folder>/<name>`: a folder that loads as it is, every field explained."""
