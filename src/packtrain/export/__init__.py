"""weights ⇄ Hugging Face, Meta, GGUF, tensor by tensor; each export checked against its source"""
