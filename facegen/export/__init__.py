"""A run goes in, a folder that other tools open comes out, with how far its pictures are from facegen's:
`export.export`. `portable` is what such a folder's code begins with; `source` adds what it stands on.
`tables` turn a sampler into numbers, by which a `page` walks in a browser."""
