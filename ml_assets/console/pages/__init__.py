"""The pages, a package each: its routes in `page`, what it shows in `read`, and its templates."""
