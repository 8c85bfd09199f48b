"""The rules that end a navigate run before its last sample. Any of them can be combined; the first one to act wins."""
