"""prompt → sampling → generation → text"""
