-- TERMINAL: the statuses that are final.
local TERMINAL = {completed = true, failed = true, canceled = true}
