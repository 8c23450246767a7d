"""From predictions to one comparison of the arms."""
