"""torch's own tests about loading, row by row, and what asserts the same here. Source: `test/test_serialization.py` and the files named with a slash.

`applies`: Y, the same assertion with numpy arrays; A, adapted (`note` says how); N, not ours (`note` says why).
"""

from __future__ import annotations

from typing import Literal

import msgspec

ZIP = "acceptance/test_with_torch.py::"
PLAIN = "acceptance/test_without_torch.py::"


class Row(msgspec.Struct, frozen=True):
    """One test of torch's."""

    name: str
    applies: Literal["Y", "A", "N"]
    tests: tuple[str, ...] = ()
    note: str = ""


SAVES = "asserts something about torch.save"
RUNS = "runs code from the file, or from a module that the file names"

ROWS: tuple[Row, ...] = (
    Row("test_serialization_zipfile_utils", "A", ("containers/test_oracles.py::test_what_torch_saves_now",), "our reader against what torch's writer wrote"),
    Row(
        "test_serialization / _safe",
        "Y",
        (ZIP + "test_a_list_with_shared_tensors_and_storages", PLAIN + "test_python_2_and_torch_0_4"),
        "a TypedStorage is our Storage; the bytes of Python 2 are built in the test",
    ),
    Row("test_serialization_filelike", "Y", (ZIP + "test_every_kind_of_source",)),
    Row("test_serialization_fake_zip", "Y", (ZIP + "test_a_payload_that_looks_like_a_zip_end", PLAIN + "test_a_payload_that_looks_like_a_zip")),
    Row("test_serialization_gzip", "Y", (ZIP + "test_every_kind_of_source", PLAIN + "test_gzip_objects_and_offsets")),
    Row("test_serialization_dill* (2)", "N", (), RUNS),
    Row("test_pickle_module", "N", (PLAIN + "test_what_safeload_does_not_take_from_torch",), RUNS + "; the argument is a TypeError that names policy="),
    Row("test_serialization_offset_gzip", "Y", (ZIP + "test_saves_and_pickles_behind_each_other", PLAIN + "test_gzip_objects_and_offsets")),
    Row("test_serialization_sparse / _safe", "Y", (ZIP + "test_sparse_layouts",), "values by dense(), is_coalesced exactly"),
    Row("test_serialization_sparse_invalid", "Y", (ZIP + "test_sparse_indices_outside_are_refused",)),
    Row("test_serialization_sparse_invalid_legacy_ctor", "Y", (ZIP + "test_sparse_indices_outside_are_refused",)),
    Row("test_serialization_sparse_{csr,csc,bsr,bsc}_invalid", "Y", (ZIP + "test_compressed_indices_that_do_not_begin_at_zero_are_refused",)),
    Row("test_serialize_device", "N", (), "deepcopy of torch.device"),
    Row(
        "test_serialization_backwards_compat / _safe",
        "Y",
        ("formats/test_tar.py::test_the_whole_format_with_aliasing", PLAIN + "test_tensors_of_torch_0_1"),
        "the tar file loads here, where torch refuses it under weights_only",
    ),
    Row("test_serialization_save_warnings", "N", (), SAVES),
    Row("test_serialization_map_location", "Y", (ZIP + "test_map_location_to_the_cpu", "placement/test_map_location.py::test_where_a_storage_goes")),
    Row("test_load_nonexistent_device", "Y", (ZIP + "test_a_device_that_is_not_there", PLAIN + "test_a_file_from_a_gpu_without_one")),
    Row("test_serialization_filelike_api_requirements", "Y", (PLAIN + "test_what_a_file_object_needs",)),
    Row("test_serialization_filelike_missing_attrs", "Y", (PLAIN + "test_missing_attributes_and_short_reads",)),
    Row("test_serialization_filelike_stress", "Y", (PLAIN + "test_a_large_tensor_through_read_and_readinto",), "a smaller tensor"),
    Row("test_serialization_filelike_uses_readinto", "Y", (PLAIN + "test_what_a_file_object_needs",)),
    Row("test_serialization_filelike_exceptions", "N", (), SAVES),
    Row("test_serialization_storage_slice", "Y", (PLAIN + "test_storage_views_of_torch_0_3",)),
    Row("test_load_unicode_error_msg", "A", (PLAIN + "test_python_2_and_torch_0_4",), "a CheckpointError that says which encoding reads any string"),
    Row(
        "test_load_python2_unicode_module",
        "A",
        (PLAIN + "test_a_module_of_python_2_under_inspect",),
        "the module is a record, its weights come from state_dict()",
    ),
    Row("test_load_error_msg", "Y", (PLAIN + "test_something_that_is_no_file",), "reading alone is enough here; what cannot be read is a TypeError"),
    Row("test_save_different_dtype_unallocated", "Y", (ZIP + "test_every_pair_of_dtypes_on_empty_storages",)),
    Row("test_save_different_dtype_error", "N", (), SAVES),
    Row("test_safe_load_basic_types", "Y", (ZIP + "test_basic_types_and_bytes",)),
    Row("test_debug_set_in_ci", "N", (), "about torch's own CI"),
    Row(
        "test_skip_data_load",
        "A",
        (ZIP + "test_skipped_data_keeps_shapes_and_views",),
        "torch's skip_data is a mode of its loader; open() gives shapes without reading",
    ),
    Row("TestBothSerialization.test_serialization_new_format_old_format_compat", "Y", (ZIP + "test_both_formats_give_equal_tensors",)),
    Row("TestOldSerialization.test_serialization_container(_filelike)", "N", (), "warns about changed source of module classes, which are not looked up here"),
    Row(
        "TestOldSerialization.test_serialization_offset / _filelike",
        "Y",
        (ZIP + "test_saves_and_pickles_behind_each_other", PLAIN + "test_saves_and_pickles_one_behind_the_other"),
    ),
    Row("test_serialization_zipfile", "Y", (ZIP + "test_every_kind_of_source",)),
    Row("test_serialization_zipfile_actually_jit", "Y", (ZIP + "test_a_torchscript_archive_says_what_it_is",), "and its weights load under inspect"),
    Row("test_serialization_2gb_file, _4gb_file", "Y", ("containers/test_oracles.py::test_a_directory_behind_five_gigabytes_is_read_without_them",)),
    Row("test_pathlike_serialization", "Y", (ZIP + "test_every_kind_of_source",)),
    Row("test_meta_serialization", "Y", (ZIP + "test_meta_tensors_and_schedulers",)),
    Row("test_lr_scheduler_serialization", "Y", (ZIP + "test_meta_tensors_and_schedulers",)),
    Row("test_serialization_python_attr", "Y", (ZIP + "test_python_attributes",), "a SubclassTensor with the attributes"),
    Row("test_serialization_nested_class", "A", (ZIP + "test_states_and_nested_classes_are_records",), "records under inspect; getattr is never made"),
    Row(
        "test_weights_only_assert", "Y", (ZIP + "test_calls_that_are_not_allowed_are_named",), "allowing a call is not possible; constructors= takes the record"
    ),
    Row(
        "test_weights_only_safe_globals_newobj", "Y", (ZIP + "test_namedtuples_and_own_classes_by_constructors",), "constructors= in the place of safe_globals"
    ),
    Row("test_weights_only_safe_globals_build / _with_slots", "A", (ZIP + "test_states_and_nested_classes_are_records",), "states stay data"),
    Row("test_weights_only_safe_globals_blocklist", "Y", (ZIP + "test_calls_that_are_not_allowed_are_named",)),
    Row(
        "test_weights_only_error", "A", (ZIP + "test_calls_that_are_not_allowed_are_named", ZIP + "test_every_pickle_protocol_loads"), "all protocols load here"
    ),
    Row(
        "test_weights_only_blocked_func_error_msg, _with_zoneinfo_…",
        "A",
        (ZIP + "test_a_blocked_method_of_an_allowed_module_is_named",),
        "all names at once, in the report",
    ),
    Row("test_serialization_math_bits", "Y", (ZIP + "test_lazy_math_bits",)),
    Row("test_serialization_efficient_zerotensor", "N", (), SAVES),
    Row("test_serialization_byteorder_mark", "Y", (ZIP + "test_records_offsets_and_alignment", PLAIN + "test_the_record_of_the_byte_order_is_read")),
    Row(
        "test_serialization_load_bom_data",
        "Y",
        (ZIP + "test_big_endian_files_are_turned_per_tensor",),
        "without a record a file is little-endian; there is no setting",
    ),
    Row(
        "…_load_bom_data_{cdouble, cfloat} (seen) and †{double, float, half, long, int, int16, int8, uint8, bool, bfloat16}",
        "Y",
        (ZIP + "test_big_endian_files_are_turned_per_tensor",),
    ),
    Row("test_serialization_warning_s390x", "N", (), "a warning on big-endian machines"),
    Row("test_serialization_mmap_loading_options (str/Path × weights_only)", "Y", (ZIP + "test_mapped_and_read_are_equal_and_the_file_stays",)),
    Row("test_serialization_mmap_loading_with_map_location", "Y", ("placement/test_cupy_backend.py::test_gpu_round_trip_aliasing_and_transposes",), "on a GPU"),
    Row(
        "test_serialization_mmap_loading / _ctx",
        "Y",
        (ZIP + "test_mapped_and_read_are_equal_and_the_file_stays", "test_source.py::test_a_read_only_map_gives_arrays_that_nobody_can_write"),
        "no shared map is offered: the file is never written",
    ),
    Row("test_serialization_dtype[e5m2,e4m3fn,complex32,uint16,uint32,uint64]", "Y", (ZIP + "test_dtypes_without_storages_keep_their_views_shared",)),
    Row("test_serialization_byte_literal[bytes, bytearray]", "Y", (ZIP + "test_basic_types_and_bytes",)),
    Row("test_filewriter_metadata_writing", "A", (ZIP + "test_skipped_data_keeps_shapes_and_views", ZIP + "test_records_offsets_and_alignment"), "our offsets"),
    Row("test_skip_data_serialization(_preserves_views, _error_cases)", "A", (ZIP + "test_skipped_data_keeps_shapes_and_views",), "the reading side"),
    Row(
        "test_weights_only_env_variables",
        "A",
        (ZIP + "test_torchs_environment_does_not_weaken_anything", PLAIN + "test_torchs_environment_is_ignored"),
        "ignored",
    ),
    Row("test_crc32_options", "Y", (ZIP + "test_crc_may_be_missing_and_is_checked_on_demand",)),
    Row("test_serialization_with_header", "Y", (ZIP + "test_a_header_in_front_of_the_archive", PLAIN + "test_gzip_objects_and_offsets")),
    Row("test_get_unsafe_globals_in_checkpoint", "Y", (ZIP + "test_unsafe_globals_are_exact", ZIP + "test_subclasses_are_records_with_their_tensors")),
    Row("test_load_njt_weights_only", "A", (ZIP + "test_nested_tensors",), "no import is needed; a jagged tensor is accepted as data"),
    Row("test_save_load_preserves_dtype (12 dtypes × wo)", "Y", (ZIP + "test_save_load_keeps_dtype",)),
    Row("test_use_pinned_memory_for_d2h", "N", (), SAVES),
    Row("test_has_format_version", "Y", (ZIP + "test_records_offsets_and_alignment",)),
    Row("test_storage_alignment", "Y", (ZIP + "test_records_offsets_and_alignment",), "against get_record_offset, not fixed numbers"),
    Row("test_mmap_load_offset_calculation", "Y", (ZIP + "test_records_offsets_and_alignment",)),
    Row("test_serialization_uintx_intx", "A", (ZIP + "test_small_integer_dtypes_of_wrappers",), "the record keeps the dtype"),
    Row(
        "TestSubclassSerialization: wrapper_serialization, getstate_overwrite, empty_class, safe_globals_for_weights_only, safe_globals_context_manager, "
        'sets_are_loadable, tensor_subclass_map_location (incl. "map_location not propagated over multiple calls")',
        "A",
        (ZIP + "test_subclasses_are_records_with_their_tensors", ZIP + "test_basic_types_and_bytes"),
        "records; a policy is a value of each call, so there is no context to leave",
    ),
    Row("test_tensor_subclass_deepcopy, test_cloned_deepcopy", "N", (), "deepcopy of torch objects"),
    # the other files of the list
    Row("test/quantization: test_qtensor_load_save", "Y", (ZIP + "test_quantised_views_share_their_storage",)),
    Row("test/quantization: test_qtensor_per_channel_load_save", "Y", (ZIP + "test_quantised_per_channel",)),
    Row("test/distributed/tensor: test_dtensor_save_load(_import)", "A", (ZIP + "test_a_dtensor_shows_its_local_part",), "a record with `.local`"),
    Row(
        "test/test_cuda.py: test_serialization_array_with_storage",
        "Y",
        ("placement/test_cupy_backend.py::test_gpu_round_trip_aliasing_and_transposes",),
        "on a GPU",
    ),
    Row("test/test_cuda.py: test_serialization_array_with_empty", "Y", ("placement/test_place.py::test_a_storage_without_bytes",), "on the fake device"),
    Row("test_nestedtensor.py::test_serialization", "Y", (ZIP + "test_nested_tensors",)),
    Row("test_fake_tensor.py FakeTensorSerialization", "A", (ZIP + "test_records_offsets_and_alignment",), "TensorInfo in the place of fake tensors"),
    Row("test_subclass.py::test_serialization", "A", (ZIP + "test_subclasses_are_records_with_their_tensors",)),
    Row("test_cuda_multigpu.py (map_location across GPUs)", "Y", ("placement/test_map_location.py::test_where_a_storage_goes",), "on fake devices"),
    Row(
        "test_cpp_extensions_open_device_registration.py (privateuse1 tags)", "A", ("placement/test_registry.py::test_a_new_device_for_a_tag_that_nobody_knew",)
    ),
    Row("test_torch.py pickle tests", "Y", ("formats/test_embedded.py::*",), "plain pickles of tensors"),
    Row("test/package/*", "A", ("formats/test_archives.py::test_the_resources_of_a_package",), "data without code"),
    Row("test/jit/test_save_load.py", "A", ("formats/test_archives.py::test_what_torch_writes",), "weights without code"),
    Row("test/distributed/checkpoint/*", "Y", ("formats/test_dcp.py::test_what_torch_writes_now", "formats/test_dcp.py::test_a_checkpoint_of_two_ranks")),
    Row("test/export/test_{serialize,package}.py", "A", ("formats/test_archives.py::test_exported_weights_by_their_names",), "weights without the graph"),
    Row(
        "caffe2/serialize/inline_container_test.cc",
        "A",
        ("containers/test_zip_central.py::test_equal_names_are_sl106", ZIP + "test_records_offsets_and_alignment"),
    ),
)
