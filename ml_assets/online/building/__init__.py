"""How a build is made: which entities it computes, the parts that it is written in, and where it goes on."""
