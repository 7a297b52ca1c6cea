"""`ml-assets init`: a new project, empty or with a use case that ships as its example."""
