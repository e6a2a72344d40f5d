# The progress of pip, from what it prints: on a terminal one line that changes, elsewhere a line every now and then.

function show(line) {
	if (terminal) printf "\r\033[K  %s", line
	else print "  " line
	fflush()
}

# A package of an index is collected, a file of this machine processed.
/^(Collecting|Processing) / {
	taken++
	sub(/.*\//, "", $2)
	sub(/(==|-[0-9]).*/, "", $2)
	if (terminal || taken % 20 == 1) show($2 ", package " taken " of " packages " at most")
}
/^Installing collected packages/ { show("unpacking " taken " packages ...") }
END { if (terminal && taken) print "" }
