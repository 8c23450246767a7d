"""Made-up data for tests: images, studies, pipelines, servers."""
