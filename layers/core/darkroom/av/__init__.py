"""Video and audio through FFmpeg."""
