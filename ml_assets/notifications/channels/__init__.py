"""The ways in which notices reach people, one module each.

They are our own: apprise 2.3 says only that a notice was not taken, not why or whether to try again, follows
redirects, and logs addresses with the secrets in them.
"""
