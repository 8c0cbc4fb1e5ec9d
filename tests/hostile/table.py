"""The known classes of attack on peers, what answers each here, and the tests that build it.

Data, and `page()`, which writes `docs/threats.md`: `PYTHONPATH=.:tests python -m hostile.table > docs/threats.md`. Tests are `path:function`, below `tests/`.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    number: int
    attack: str
    known_from: str  # advisories, or whose loader or scanner it was
    answer: str  # the law, rule or limit
    tests: str  # blank-separated


ROWS = (
    Row(
        1, "a callable that no deny list has", "CVE-2025-1716, 48 GHSA ids of picklescan",
        "SL301: unlisted is denied",
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused "
        "hostile/test_calls.py:test_a_gadget_is_refused",
    ),
    Row(
        2, "one function that resolves every other", "GHSA-vvpj-8cmc-gx39",
        "law 1, SL301",
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused "
        "hostile/test_calls.py:test_what_was_computed_is_not_called",
    ),
    Row(
        3, "modules missing from fickling's list", "CVE-2025-67747, CVE-2025-67748, CVE-2026-22606 to 22609, CVE-2026-22612",
        "SL301",
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused",
    ),
    Row(
        4, "a submodule of a listed module", "CVE-2025-10157, GHSA-f7qq-56ww-84cr",
        "exact names, SL301",
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused "
        "hostile/test_names.py:test_a_name_is_exact",
    ),
    Row(
        5, "a dotted name that walks to another object", "GHSA-5j3x-jp52-966f",
        "exact names, SL301",
        "hostile/test_names.py:test_a_name_is_exact "
        "hostile/test_names.py:test_a_dot_does_not_move_between_module_and_name "
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused",
    ),
    Row(
        6, "an allowed module that re-exports another", "fickling #60, modelscan #330",
        "exact names, SL301",
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused",
    ),
    Row(
        7, "getattr, attrgetter, partial, reduce", "GHSA-955r-x9j8-7rhh, GHSA-46h3-79wf-xr6c",
        "SL301, SL303",
        "hostile/test_calls.py:test_an_attribute_chain_names_each_step "
        "hostile/test_calls.py:test_a_chain_of_records_stays_records_under_inspect",
    ),
    Row(
        8, "other names of one module", "picklescan, modelscan, modelaudit",
        "SL301; Python 2 names are aliases of the same entry",
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused "
        "policy/test_aliases.py:test_renaming_never_opens_what_is_shut",
    ),
    Row(
        9, "computed operands of STACK_GLOBAL", "fickling #125",
        "SL208: two strings, or a name that nobody can know",
        "hostile/test_names.py:test_a_name_is_two_strings",
    ),
    Row(
        10, "games with the memo", "GHSA-9gvj-pp9x-gcfr",
        "one machine with CPython's memo",
        "hostile/test_names.py:test_the_memo_holds_what_was_put "
        "hostile/test_names.py:test_the_words_on_the_stack_decide",
    ),
    Row(
        11, "decoys popped before STACK_GLOBAL", "modelaudit #518",
        "one machine",
        "hostile/test_names.py:test_the_words_on_the_stack_decide",
    ),
    Row(
        12, "names by 8-bit strings, or as the first opcode", "GHSA-9gvj-pp9x-gcfr",
        "one machine",
        "hostile/test_names.py:test_the_words_on_the_stack_decide "
        "hostile/test_names.py:test_the_first_opcode_counts",
    ),
    Row(
        13, "INST and OBJ, results discarded", "GHSA-mxhj-88fx-4pcv",
        "a call counts when it is made",
        "hostile/test_calls.py:test_a_call_is_named "
        "policy/test_vet.py:test_a_call_counts_when_it_is_made_and_not_when_it_is_used",
    ),
    Row(
        14, "NEWOBJ and NEWOBJ_EX", "PyTorch #193984",
        "law 1: a class is a name; SL301, SL304",
        "hostile/test_calls.py:test_newobj_ex_is_a_call "
        "hostile/test_calls.py:test_keyword_arguments_are_none_that_a_pickler_writes "
        "hostile/test_near_misses.py:test_what_no_constructor_takes_is_refused",
    ),
    Row(
        15, "the extension registry", "fickling #172",
        "SL203",
        "hostile/test_names.py:test_names_by_number_are_refused "
        "hostile/test_names.py:test_a_registered_extension_is_named_and_refused",
    ),
    Row(
        16, "BUILD with a chosen state", "GHSA-mhc9-48gj-9gp3, PyTorch #195607",
        "SL305: states are data, without dunder keys",
        "hostile/test_states.py:test_a_state_is_a_dict_of_names "
        "hostile/test_states.py:test_a_namespace_has_no_dunder "
        "hostile/test_states.py:test_an_ordered_dict_is_not_shadowed",
    ),
    Row(
        17, "SETITEM and APPEND on what is no container", "CVE-2026-24747, GHSA-63cw-57p8-fm3p",
        "SL305, SL201",
        "hostile/test_states.py:test_tensors_and_names_take_no_items_and_no_state "
        "hostile/test_states.py:test_plain_values_take_only_what_they_are_for",
    ),
    Row(
        18, "persistent ids", "modelaudit #938, PyTorch #161661",
        "SL306, SL403",
        "hostile/test_tensors.py:test_a_storage_is_what_its_id_says",
    ),
    Row(
        19, "a second stage in a literal", "picklescan, modelscan #267",
        "SL301: the caller is refused; storages in bytes are judged",
        "hostile/test_calls.py:test_a_gadget_is_refused "
        "formats/test_embedded.py:test_what_only_looks_like_a_storage",
    ),
    Row(
        20, "code objects by cloudpickle, dill, marshal", "GHSA-565g-hwwr-4pp3",
        "SL301",
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused "
        "hostile/test_calls.py:test_a_gadget_is_refused",
    ),
    Row(
        21, "the file switches the scanner off", "fickling #249",
        "law 1: nothing of ours can be named",
        "hostile/test_calls.py:test_a_gadget_is_refused",
    ),
    Row(
        22, "a loader that the hook does not cover", "GHSA-wccx-j62j-r448, GHSA-fphw-536r-4p88",
        "there are no hooks",
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused "
        "test_laws.py:test_law_1_no_name_becomes_an_object",
    ),
    Row(
        23, "one analysis hides a name from the next", "GHSA-cffv-grgg-g429",
        "one decision for each use",
        "property/test_policy_laws.py:test_what_is_popped_counts_all_the_same "
        "policy/test_vet.py:test_findings_beyond_the_limit_are_counted",
    ),
    Row(
        24, "good names that outweigh a bad one", "modelaudit",
        "no scores",
        "hostile/test_calls.py:test_a_payload_beside_good_tensors_spoils_the_file "
        "property/test_policy_laws.py:test_a_deny_always_wins",
    ),
    Row(
        25, "free text that suppresses a finding", "modelscan, picklescan, modelaudit",
        "exact names",
        "hostile/test_advisories.py:test_a_function_of_an_advisory_is_refused",
    ),
    Row(
        26, "a list that never matches", "modelaudit, picklescan",
        "policies are typed and validated",
        "policy/test_toml.py:test_wrong_allow_entries "
        "policy/test_toml.py:test_a_pattern_that_could_never_match_is_refused",
    ),
    Row(
        27, "odd letters and escapes in names", "modelaudit, picklescan",
        "byte for byte as CPython decodes",
        "hostile/test_names.py:test_a_name_is_exact "
        "hostile/test_names.py:test_the_words_on_the_stack_decide",
    ),
    Row(
        28, "the scanner raises where the loader goes on", "CVE-2025-1944, CVE-2025-1945, CVE-2025-10156",
        "laws 3 and 4",
        "hostile/test_streams.py:test_one_byte_is_no_surprise "
        "hostile/test_streams.py:test_damage_alone_is_inconclusive",
    ),
    Row(
        29, "the stream breaks after the payload", "nullifAI, picklescan #33",
        "what came before is judged, and what would be looked up behind it; SL201, SL202",
        "hostile/test_streams.py:test_a_payload_before_the_damage_is_named "
        "formats/test_beyond.py:test_what_a_refused_opcode_hides_is_named "
        "hostile/test_streams.py:test_each_cut_of_a_payload_is_refused",
    ),
    Row(
        30, "several streams behind each other", "PickleBall",
        "each is judged",
        "hostile/test_streams.py:test_what_follows_stop_is_judged_or_refused "
        "hostile/test_streams.py:test_many_streams_hide_nothing",
    ),
    Row(
        31, "junk between streams", "modelaudit #581",
        "SL207",
        "hostile/test_streams.py:test_what_follows_stop_is_judged_or_refused",
    ),
    Row(
        32, "bytes behind STOP", "modelaudit",
        "SL207",
        "hostile/test_streams.py:test_a_second_stream_in_an_archive_is_no_part_of_it "
        "formats/test_legacy.py:test_bytes_behind_the_last_payload_are_not_passed_over",
    ),
    Row(
        33, "an argument that crosses its frame", "CPython gh-154848",
        "SL204",
        "hostile/test_streams.py:test_frames_hold_what_they_announce "
        "hostile/test_streams.py:test_a_hidden_program_behind_a_long_argument_is_not_data",
    ),
    Row(
        34, "PROTO twice, late, too high, or none", "CVE-2025-10155",
        "SL201; content decides",
        "hostile/test_streams.py:test_proto_stands_first_and_once "
        "containers/test_detect.py:test_a_bare_pickle_of_any_protocol",
    ),
    Row(
        35, "opcodes that the analyser does not know", "fickling #322, #324",
        "one table of all 68",
        "property/test_one_reading.py:test_each_opcode_has_its_stream "
        "property/test_one_reading.py:test_each_opcode_is_read_alike",
    ),
    Row(
        36, "out-of-band buffers", "modelaudit #1450",
        "SL203",
        "hostile/test_names.py:test_buffers_from_outside_are_refused",
    ),
    Row(
        37, "a high memo slot", "CVE-2018-20406, gh-115952",
        "the memo is a dict; memo_entries",
        "hostile/test_streams.py:test_a_high_memo_slot_costs_one_entry "
        "machine/test_hostile.py:test_a_high_memo_slot_costs_nothing",
    ),
    Row(
        38, "declared lengths", "gh-115952",
        "compared with what is left: SL202",
        "hostile/test_streams.py:test_a_length_is_compared_with_what_is_left "
        "machine/test_hostile.py:test_a_declared_length_costs_nothing",
    ),
    Row(
        39, "billion laughs", "fickling #211, candle #3617",
        "walks remember what they saw",
        "hostile/test_streams.py:test_shared_parts_cost_their_real_size "
        "hostile/test_streams.py:test_laughs_in_lists_cost_their_real_size "
        "machine/test_hostile.py:test_a_memo_bomb_costs_its_real_size",
    ),
    Row(
        40, "cycles", "fickling #196",
        "iterative walks, SL205",
        "property/test_machine_honest.py:test_sharing_and_cycles_come_back "
        "test_compare.py:test_cycles_that_are_alike_are_equal "
        "machine/test_hostile.py:test_unhashable_keys",
    ),
    Row(
        41, "deep nesting", "candle #3628, PyTorch #127525",
        "nesting_depth, key_depth",
        "hostile/test_streams.py:test_depth_is_bounded "
        "machine/test_hostile.py:test_deep_and_wide "
        "machine/test_hostile.py:test_a_deep_tuple_as_key",
    ),
    Row(
        42, "an empty stack, marks, a memo miss", "PyTorch #127525, #190888",
        "SL201",
        "machine/test_hostile.py:test_senseless "
        "property/test_one_reading.py:test_any_bytes_are_read_alike_or_refused",
    ),
    Row(
        43, "names that an unpickler renames", "saferpickle",
        "aliases, shut at both doors",
        "policy/test_aliases.py:test_names_are_renamed_as_cpython_renames_them "
        "policy/test_aliases.py:test_both_doors_are_shut",
    ),
    Row(
        44, "a computed magic number", "GHSA-97f8-7cmv-76j2",
        "SL120: no names in header streams",
        "formats/test_legacy.py:test_a_computed_magic_number_is_no_header "
        "formats/test_legacy.py:test_a_name_in_a_header_stream_is_refused",
    ),
    Row(
        45, "a payload behind filler", "modelaudit #1846",
        "SL901: over the budget is never accepted",
        "hostile/test_streams.py:test_filler_does_not_hide_a_payload",
    ),
    Row(
        46, "a file name that lies", "CVE-2025-10155, CVE-2025-1889",
        "content decides",
        "containers/test_detect.py:test_the_name_of_the_file_decides_nothing "
        "hostile/test_members.py:test_a_pickle_in_another_member_is_judged "
        "hostile/test_cross.py:test_every_capability_in_every_place",
    ),
    Row(
        47, "local and central names differ", "CVE-2025-1944, GHSA-7q5r-7gvp-wc82",
        "SL110",
        "containers/test_zip_local.py:test_a_local_header_that_contradicts_is_sl110",
    ),
    Row(
        48, "flag bits", "CVE-2025-1945, GHSA-w8jq-xcqf-f792",
        "SL111",
        "containers/test_zip_central.py:test_encryption_and_reserved_flags_are_sl111",
    ),
    Row(
        49, "a wrong CRC", "CVE-2025-10156, GHSA-mjqp-26hc-grxg",
        "SL115",
        "containers/test_inflate.py:test_a_wrong_crc_is_sl115_and_zero_means_not_computed",
    ),
    Row(
        50, "one broken member ends the scan", "modelscan #354",
        "law 4; the other members are looked at",
        "hostile/test_members.py:test_a_broken_pickle_in_another_member_is_judged "
        "hostile/test_members.py:test_a_member_that_ends_the_reading_hides_no_other "
        "cli/test_scan.py:test_one_bad_file_does_not_end_the_run",
    ),
    Row(
        51, "two members of one name", "cpython #117779",
        "SL106, SL107",
        "hostile/test_members.py:test_two_members_of_one_name_are_ambiguous "
        "containers/test_zip_central.py:test_names_that_some_reader_takes_for_one_are_sl107",
    ),
    Row(
        52, "overlapping members, deflate bombs", "cpython #117779",
        "SL108, SL901",
        "containers/test_zip_local.py:test_two_entries_for_one_header_are_sl108 "
        "containers/test_inflate.py:test_a_bomb_is_refused_by_its_ratio_before_a_byte_is_inflated",
    ),
    Row(
        53, "two formats in one file", "fickling, modelaudit #1775",
        "SL120, SL105",
        "hostile/test_members.py:test_a_zip_behind_a_pickle_is_ambiguous "
        "containers/test_detect.py:test_a_zip_that_is_a_tar_is_ambiguous "
        "containers/test_zip_end.py:test_bytes_before_the_archive_are_sl105",
    ),
    Row(
        54, "a pickle in another member", "modelaudit #1043",
        "every member is judged",
        "hostile/test_members.py:test_a_pickle_in_another_member_is_judged "
        "hostile/test_members.py:test_a_pickle_in_a_storage_that_nothing_uses_is_judged "
        "hostile/test_members.py:test_a_pickle_in_any_storage_that_nothing_uses_is_judged",
    ),
    Row(
        55, "an encrypted archive", "picklescan, modelscan",
        "SL111",
        "containers/test_zip_central.py:test_encryption_and_reserved_flags_are_sl111",
    ),
    Row(
        56, "compression around the file", "nullifAI",
        "inflated within the budget, or SL002",
        "containers/test_compressed.py:test_a_payload_in_a_compressed_file_is_named "
        "containers/test_compressed.py:test_a_bomb_costs_what_the_budget_allows "
        "containers/test_sevenzip.py:test_a_payload_is_named_by_every_method "
        "containers/test_sevenzip.py:test_a_solid_bomb_stops_before_it_is_inflated "
        "containers/test_sevenzip_header.py:test_a_header_that_unpacks_to_many_times_the_file_is_not_unpacked "
        "containers/test_detect.py:test_everything_else_is_named",
    ),
    Row(
        57, "torch's tar format", "CVE-2025-32434, GHSA-53q9-r3pm-6pq6",
        "the same machine and policy",
        "formats/test_tar.py:test_what_torch_would_trust_is_refused "
        "formats/test_tar.py:test_a_payload_in_the_object_is_named_whatever_the_tables_hold",
    ),
    Row(
        58, "names that climb", "modelaudit #1462",
        "nothing is extracted; a finding",
        "hostile/test_members.py:test_names_that_climb_are_refused "
        "formats/test_shards.py:test_a_name_that_leads_elsewhere_is_refused",
    ),
    Row(
        59, "archives in archives", "modelscan #106",
        "judged to container_depth",
        "hostile/test_cross.py:test_every_spelling_of_a_call_in_every_place "
        "formats/test_tar.py:test_tars_within_tars_end "
        "formats/test_tar.py:test_a_compressed_tar_and_one_in_a_zip",
    ),
    Row(
        60, "arrays of objects", "CVE-2019-6446",
        "judged, and refused: SL305, SL409",
        "formats/test_npy.py:test_objects_are_judged_and_do_not_load "
        "formats/test_npy.py:test_a_member_that_is_no_array_makes_the_archive_inconclusive",
    ),
    Row(
        61, "headers of .npy files", "numpy #22393",
        "a grammar of our own",
        "containers/test_npy.py:test_other_headers_are_refused "
        "formats/test_npy.py:test_a_long_header_costs_little",
    ),
    Row(
        62, "joblib's bytes between opcodes", "CVE-2024-34997",
        "exact spans",
        "formats/test_joblib.py:test_lies_about_the_bytes_are_never_accepted "
        "formats/test_joblib.py:test_a_payload_behind_an_array_is_found "
        "formats/test_joblib.py:test_a_payload_in_the_elements_is_found",
    ),
    Row(
        63, "archives with code", "CVE-2022-45907, CVE-2026-4538",
        "SL124; code is never run",
        "formats/test_archives.py:test_code_is_rejected_where_the_policy_keeps_no_records "
        "formats/test_archives.py:test_a_payload_is_found_in_every_pickle "
        "formats/test_archives.py:test_a_compiled_model_is_rejected",
    ),
    Row(
        64, "other loaders' files", "Hide and Seek, CVE-2024-3660, CVE-2025-1550, CVE-2025-8747, CVE-2024-34359",
        "SL301 and SL124 for what Keras and GGUF would run; SL001, SL002: what is not known is not accepted",
        "formats/test_keras.py:test_a_module_that_keras_would_import_is_put_to_the_policy "
        "formats/test_keras.py:test_a_layer_of_code_is_named "
        "formats/test_keras.py:test_a_tool_of_keras_is_no_part_of_a_model "
        "containers/test_gguf.py:test_a_template_that_leaves_its_sandbox_is_code "
        "containers/test_named.py:test_they_are_named_and_not_judged "
        "containers/test_detect.py:test_everything_else_is_named",
    ),
    Row(
        65, "a storage shorter than its id says", "CVE-2026-24747",
        "SL403, SL404",
        "hostile/test_tensors.py:test_a_storage_is_what_its_id_says",
    ),
    Row(
        66, "sizes that wrap, or are negative", "PyTorch #181310",
        "Python ints",
        "storage/test_geometry.py:test_numbers_that_wrap_elsewhere_are_refused",
    ),
    Row(
        67, "a view outside its storage", "GHSA-jg6j-8w4h-2pg2",
        "SL401",
        "hostile/test_tensors.py:test_a_view_lies_inside_its_storage "
        "hostile/test_tensors.py:test_a_quantizer_fits_its_values",
    ),
    Row(
        68, "negative strides", "torch #176718",
        "SL401, SL402",
        "hostile/test_tensors.py:test_a_view_lies_inside_its_storage",
    ),
    Row(
        69, "stride 0", "burn #5506",
        "tensor_bytes, total_tensor_bytes",
        "hostile/test_tensors.py:test_a_stride_of_zero_expands_within_the_budget_only "
        "hostile/test_tensors.py:test_many_views_of_one_element_are_summed",
    ),
    Row(
        70, "sparse indices", "GHSA-pxpx-v6rm-5jqf",
        "SL408, for each tensor",
        "hostile/test_tensors.py:test_coo_indices_lie_inside_the_size "
        "hostile/test_tensors.py:test_compressed_indices_are_in_order_and_inside",
    ),
    Row(
        71, "a tensor of a chosen type or function", "PyTorch #169570",
        "SL301, SL304",
        "hostile/test_calls.py:test_rebuild_from_type_takes_no_chosen_function "
        "hostile/test_calls.py:test_rebuild_from_type_takes_no_unlisted_class",
    ),
    Row(
        72, "storages without memory", "PyTorch #184032",
        "arrays of our own",
        "rebuild/test_storages.py:test_storages_of_length_zero",
    ),
    Row(
        73, "the file changes under the reader", "PyTorch #143880",
        "private copies of what is judged; SECURITY.md for the rest",
        "test_source.py:test_a_file_that_shrinks_after_the_verdict_is_an_error_and_no_crash "
        "test_source.py:test_the_file_on_disk_never_changes_and_its_changes_stay_outside",
    ),
    Row(
        74, "one key, two declarations", "torch's legacy views",
        "all ids of a key agree",
        "storage/test_prove.py:test_all_ids_of_a_key_agree",
    ),
    Row(
        75, "location strings", "torch",
        "inert text; the caller places",
        "test_api.py:test_an_unknown_location_is_the_machines_fault",
    ),
    Row(
        76, "byte order and dtypes", "burn #5593",
        "a table of dtypes",
        "rebuild/test_views.py:test_every_storage_type_in_both_byte_orders "
        "hostile/test_tensors.py:test_a_dtype_is_one",
    ),
    Row(
        77, "unread is called clean", "modelscan #218, #134",
        "law 4, exit code 2",
        "cli/test_scan.py:test_the_exit_code_is_the_same_in_every_format "
        "cli/test_scan.py:test_what_a_person_sees",
    ),
    Row(
        78, "suspicious and hidden", "picklescan #71",
        "unlisted is rejected",
        "cli/test_scan.py:test_the_worst_decides",
    ),
    Row(
        79, "the scanner writes files", "fickling #305",
        "nothing but --output",
        "cli/test_scan.py:test_output_goes_to_the_file_and_nowhere_else",
    ),
    Row(
        80, "the scanner hangs", "promptfoo #6266",
        "scan_seconds",
        "test_budget.py:test_time_over_is_a_verdict "
        "test_limits.py:test_both_sides_of_a_limit",
    ),
    Row(
        81, "one file ends the run", "picklescan #57",
        "each file by itself",
        "cli/test_scan.py:test_one_bad_file_does_not_end_the_run",
    ),
    Row(
        82, "the scanner runs the file", "modelaudit #1582",
        "law 1",
        "corpus/test_laws_on_corpus.py:test_reading_the_corpus_causes_no_event "
        "test_laws.py:test_law_1_no_name_becomes_an_object "
        "fuzz/test_replay.py:test_seeds_and_regressions_break_no_law",
    ),
    Row(
        83, "a list that the user extends", "PyTorch #189445",
        "two keys: an entry selects a constructor of ours",
        "hostile/test_calls.py:test_a_callers_constructor_does_not_lift_a_denial "
        "rebuild/test_replay.py:test_a_denied_name_is_never_overridden",
    ),
    Row(
        84, "a second try, unsafely", "Stanza 1.12",
        "there is none",
        "test_api.py:test_what_would_run_the_file_points_to_policy",
    ),
)  # fmt: skip


def page() -> str:
    """`docs/threats.md`."""
    lines = [
        "# Known attacks, and what answers each",
        "",
        "84 classes of attack on loaders and scanners of checkpoints, as their advisories and trackers tell them, in the order of the catalogue",
        "from which safeload's design was drawn. Written by `tests/hostile/table.py`, which `tests/hostile/test_table.py` holds against the tests.",
        "Codes are rules (`safeload/findings.py`), names in small letters limits (`safeload/limits.py`), laws those of [SECURITY.md](../SECURITY.md).",
        "",
        "| # | attack | known from | answer | tests |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS:
        tests = "<br>".join(f"`{test}`" for test in row.tests.split())
        lines.append(f"| {row.number} | {row.attack} | {row.known_from} | {row.answer} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
