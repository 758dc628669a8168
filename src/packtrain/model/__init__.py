"""config → linear, norm, rope, attention, feed_forward → block → llama; initialisation, loss"""
