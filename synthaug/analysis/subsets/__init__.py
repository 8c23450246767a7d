"""Parts of the test images: classes that are not equally large, and groups that a user names."""
