"""Jobs as rows: what is asked, who can do it, and every move of a job or an attempt."""
