-- The key of the view of a job, `<tenant>/<job id>`. `view_prefix` is the beginning of every view's key.
local function view_of(view_prefix, job)
  return view_prefix .. string.gsub(job, '/', ':', 1)
end
