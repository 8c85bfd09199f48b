"""`copgen sample`: z -> (x, x') for as many pairs as asked, written as a pairs folder."""
