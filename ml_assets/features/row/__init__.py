"""Features of the row to predict: request, calendar and derived ones, which nothing stores."""
