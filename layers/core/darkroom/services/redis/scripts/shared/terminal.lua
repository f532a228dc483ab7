-- TERMINAL: the statuses that never change again.
local TERMINAL = {completed = true, failed = true, canceled = true}
