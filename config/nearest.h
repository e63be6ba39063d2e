/* The name that was probably meant. */
#ifndef CRATOS_CONFIG_NEAREST_H
#define CRATOS_CONFIG_NEAREST_H

/* All but wrong is zero. */
struct nearest {
	const char *wrong; /* the name as it was written */
	char name[64]; /* the nearest so far; "" if none is near */
	unsigned distance;
};

/* Considers name; too far away, too long or no better than before: ignored. */
void nearest_try(struct nearest *nearest, const char *name);

/* Takes name if it was one of the others, which have blanks between them. */
void nearest_try_others(struct nearest *nearest, const char *name,
    const char *others);

#endif
