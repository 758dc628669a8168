"""What a trained model is worth, measured on text it has not seen."""
