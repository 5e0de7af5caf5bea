"""A small procedural city with exact labels, seen by two cameras: the two domains of the samples.

world: `draw_world` puts `Thing`s into a `World`;
things: `kinds` of things draw their `Face`s in a `Style`, `build_place` puts all in their place;
painter: a `Pinhole` looks, `Mesh` sorts, `rasterise` and `label_of` say what each pixel sees;
camera: `Light` and `Lens` make the picture; `render` does it all."""
