/* The declared sections as text: a reference for people, and a sample file. */
#include <stdbool.h>
#include <string.h>

#include "config/field.h"
#include "config/tree.h"

static const char include_help[] =
    "further files to read, relative to this one; *, ? and [...] match any";

static bool is_app(const struct config_section *section)
{
	return !strcmp(section->name, "app");
}

/* Whether the program has an [app] itself; "include" gets one if not. */
static bool has_app(const struct config_section *sections)
{
	while (sections->name && !is_app(sections))
		sections++;
	return sections->name != NULL;
}

/* ---- reference ----------------------------------------------------------- */

static void explain_field(const struct config_field *field, FILE *out)
{
	char right[FIELD_RIGHT_BYTES];

	field_describe(field, right);
	fprintf(out, "\n    %s%s = %s\n", field->key,
	    field->type == CONFIG_MAP ? ".NAME" : "", right);
	if (field->help)
		fprintf(out, "        %s\n", field->help);
	if (field->required) {
		fprintf(out, "        must be there\n");
	} else if (field->fallback && *field->fallback) {
		field_sample(field, "        default: ", out);
		fputc('\n', out);
	}
}

static void explain_include(FILE *out)
{
	fprintf(out,
	    "\n    include = words with blanks between them\n"
	    "        %s\n",
	    include_help);
}

static void explain_section(const struct config_section *section, FILE *out)
{
	size_t size;
	bool named = tree_named(section, &size);

	fprintf(out, "[%s%s]\n", section->name, named ? "NAME" : "");
	if (section->help)
		fprintf(out, "    %s\n", section->help);
	if (named)
		fprintf(out, "    %s\n",
		    section->required
			? "one or more of them, each with its NAME"
			: "any number of them, each with its NAME");
	else if (section->required)
		fprintf(out, "    must be there\n");
	for (const struct config_field *field = section->fields; field->key;
	     field++)
		explain_field(field, out);
	if (is_app(section))
		explain_include(out);
	fputc('\n', out);
}

void config_reference(const struct config_section *sections, FILE *out)
{
	for (const struct config_section *section = sections; section->name;
	     section++)
		explain_section(section, out);
	if (!has_app(sections)) {
		fprintf(out, "[app]\n");
		explain_include(out);
		fputc('\n', out);
	}
	fputs(
	    "Values\n"
	    "    A value is what stands behind '=', up to the end of the line "
	    "or to a ';'\n"
	    "    after a blank and outside of quotes. ${NAME} and "
	    "${NAME:default} are\n"
	    "    environment variables, $$ is a dollar sign.\n"
	    "    Durations have units ms, s, m, h, d; sizes B, KiB, MiB, GiB, "
	    "TiB (K, M, G\n"
	    "    and T are the same) of 1024, and KB, MB, GB, TB of 1000.\n",
	    out);
}

/* ---- sample -------------------------------------------------------------- */

/* What must be there, or is shown, stands as it is, all else behind a ';'. */
static void sample_field(const struct config_field *field, FILE *out)
{
	char right[FIELD_RIGHT_BYTES];

	field_describe(field, right);
	fputc('\n', out);
	if (field->help)
		fprintf(out, "# %s\n", field->help);
	fprintf(out, "# %s%s\n", right, field->required ? "; required" : "");
	fprintf(out, "%s%s%s =", field->required || field->shown ? "" : ";",
	    field->key, field->type == CONFIG_MAP ? ".NAME" : "");
	field_sample(field, " ", out);
	fputc('\n', out);
}

static void sample_include(FILE *out)
{
	fprintf(out, "\n# %s\n;include = conf.d/*.ini\n", include_help);
}

static void sample_section(const struct config_section *section, FILE *out)
{
	size_t size;
	bool named = tree_named(section, &size);

	if (section->help)
		fprintf(out, "# %s\n", section->help);
	if (named)
		fprintf(out, "# any number of [%sNAME]\n", section->name);
	fprintf(out, "[%s%s]\n", section->name, named ? "example" : "");
	for (const struct config_field *field = section->fields; field->key;
	     field++)
		sample_field(field, out);
	if (is_app(section))
		sample_include(out);
	fputc('\n', out);
}

void config_sample(const struct config_section *sections, FILE *out)
{
	if (!has_app(sections)) {
		fprintf(out, "[app]\n");
		sample_include(out);
		fputc('\n', out);
	}
	for (const struct config_section *section = sections; section->name;
	     section++)
		sample_section(section, out);
}
