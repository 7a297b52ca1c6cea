"""The slices of rows that lost most: conditions on one column or two, searched and held against chance."""
