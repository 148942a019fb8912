/* What libseccomp makes of rules read from standard input, for a test to compare with.
 *
 *   export names ARCH    a name a line; answers each with its number there, or -1
 *   export filter ARCH...  the filter for these architectures. The first line is the default
 *                        action; each other one: action, name, number of conditions, and for each
 *                        condition its argument, operator and two values.
 */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-error));
	return 1;
}

static int names(uint32_t arch)
{
	char name[64];

	while (scanf("%63s", name) == 1)
		printf("%d\n", seccomp_syscall_resolve_name_arch(arch, name));
	return 0;
}

static int filter(int count, char **archs)
{
	uint32_t action;
	unsigned int conditions;
	char name[64];
	int error, i;

	if (scanf("%" SCNu32, &action) != 1)
		return fail("default action", -EINVAL);
	scmp_filter_ctx ctx = seccomp_init(action);
	if (!ctx)
		return fail("seccomp_init", -ENOMEM);
	for (i = 0; i < count; i++) {
		error = seccomp_arch_add(ctx, strtoul(archs[i], NULL, 0));
		if (error && error != -EEXIST)
			return fail("seccomp_arch_add", error);
	}
	/* The native one came by itself; it stays only if it was asked for. */
	int wanted = 0;
	for (i = 0; i < count; i++)
		wanted |= strtoul(archs[i], NULL, 0) == seccomp_arch_native();
	if (!wanted && (error = seccomp_arch_remove(ctx, seccomp_arch_native())))
		return fail("seccomp_arch_remove", error);
	while (scanf("%" SCNu32 " %63s %u", &action, name, &conditions) == 3) {
		struct scmp_arg_cmp args[6];

		if (conditions > 6)
			return fail("conditions", -EINVAL);
		for (unsigned int c = 0; c < conditions; c++) {
			unsigned int arg, op;

			if (scanf("%u %u %" SCNu64 " %" SCNu64, &arg, &op, &args[c].datum_a,
				  &args[c].datum_b) != 4)
				return fail("condition", -EINVAL);
			args[c].arg = arg;
			args[c].op = op;
		}
		error = seccomp_rule_add_array(ctx, action, seccomp_syscall_resolve_name(name),
					       conditions, args);
		if (error)
			return fail(name, error);
	}
	error = seccomp_export_bpf(ctx, 1);
	return error ? fail("seccomp_export_bpf", error) : 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "names"))
		return names(strtoul(argv[2], NULL, 0));
	if (argc > 2 && !strcmp(argv[1], "filter"))
		return filter(argc - 2, argv + 2);
	return fail("arguments", -EINVAL);
}
