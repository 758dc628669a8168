"""config → linear, norm, rope, attention, feed_forward → block (manual: by hand) → llama; initialisation, loss"""
